"""Short questions and answers in eight languages: dates, amounts, units, times, names.

The questions are written by hand in each language; every answer, and every number, date or time inside a question,
comes from Unicode CLDR through babel. The same kinds of question are asked in every language, in the same
proportions, so language is what tells two such sources apart.
"""

import copy
import datetime
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from babel import Locale
from babel.dates import format_date, format_skeleton, format_time, format_timedelta, get_day_names, get_month_names
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal, format_percent
from babel.units import format_unit

PROMPTS = {
    "de": {
        "date": "Schreibe das Datum {date} mit Wochentag aus.",
        "amount": "Schreibe {number} {code} mit dem Namen der Währung.",
        "unit": "Schreibe die Einheit aus: {short}",
        "duration": "Ein Treffen geht von {start} bis {end}. Wie lange dauert es?",
        "month": "In welchem Monat liegt der {date}?",
        "weekday": "Heute ist {weekday}. Welcher Wochentag ist {later}?",
        "percent": "Schreibe {number} in Prozent.",
        "country": "Welches Land hat den Code {code}?",
    },
    "en": {
        "date": "Write out the date {date} with its weekday.",
        "amount": "Write {number} {code} with the name of the currency.",
        "unit": "Spell out the unit: {short}",
        "duration": "A meeting runs from {start} to {end}. How long is it?",
        "month": "In which month is the date {date}?",
        "weekday": "Today is {weekday}. Which day of the week is it {later}?",
        "percent": "Write {number} as a percentage.",
        "country": "Which country has the code {code}?",
    },
    "es": {
        "date": "Escribe la fecha {date} con el día de la semana.",
        "amount": "Escribe {number} {code} con el nombre de la moneda.",
        "unit": "Escribe la unidad completa: {short}",
        "duration": "Una reunión va de {start} a {end}. ¿Cuánto dura?",
        "month": "¿En qué mes cae la fecha {date}?",
        "weekday": "Hoy es {weekday}. ¿Qué día será {later}?",
        "percent": "Escribe {number} como porcentaje.",
        "country": "¿Qué país tiene el código {code}?",
    },
    "fr": {
        "date": "Écris la date {date} avec le jour de la semaine.",
        "amount": "Écris {number} {code} avec le nom de la monnaie.",
        "unit": "Écris le nom de l'unité en entier : {short}",
        "duration": "Une réunion va de {start} à {end}. Quelle est sa durée ?",
        "month": "Dans quel mois tombe la date {date} ?",
        "weekday": "Nous sommes {weekday}. Quel jour serons-nous {later} ?",
        "percent": "Écris {number} en pourcentage.",
        "country": "Quel pays a le code {code} ?",
    },
    "it": {
        "date": "Scrivi la data {date} con il giorno della settimana.",
        "amount": "Scrivi {number} {code} con il nome della valuta.",
        "unit": "Scrivi l'unità per esteso: {short}",
        "duration": "Una riunione va dalle {start} alle {end}. Quanto dura?",
        "month": "In che mese cade la data {date}?",
        "weekday": "Oggi è {weekday}. Che giorno sarà {later}?",
        "percent": "Scrivi {number} in percentuale.",
        "country": "Quale paese ha il codice {code}?",
    },
    "nl": {
        "date": "Schrijf de datum {date} voluit met de weekdag.",
        "amount": "Schrijf {number} {code} met de naam van de valuta.",
        "unit": "Schrijf de eenheid voluit: {short}",
        "duration": "Een vergadering duurt van {start} tot {end}. Hoe lang is dat?",
        "month": "In welke maand valt de datum {date}?",
        "weekday": "Vandaag is het {weekday}. Welke dag is het {later}?",
        "percent": "Schrijf {number} als percentage.",
        "country": "Welk land heeft de code {code}?",
    },
    "pt": {
        "date": "Escreva a data {date} com o dia da semana.",
        "amount": "Escreva {number} {code} com o nome da moeda.",
        "unit": "Escreva a unidade por extenso: {short}",
        "duration": "Uma reunião vai das {start} às {end}. Quanto tempo dura?",
        "month": "Em que mês cai a data {date}?",
        "weekday": "Hoje é {weekday}. Que dia da semana será {later}?",
        "percent": "Escreva {number} como porcentagem.",
        "country": "Que país tem o código {code}?",
    },
    "ru": {
        "date": "Напишите дату {date} полностью, с днём недели.",
        "amount": "Напишите {number} {code} с названием валюты.",
        "unit": "Напишите единицу измерения полностью: {short}",
        "duration": "Встреча идёт с {start} до {end}. Сколько она длится?",
        "month": "На какой месяц приходится дата {date}?",
        "weekday": "Сегодня {weekday}. Какой день недели будет {later}?",
        "percent": "Напишите {number} в процентах.",
        "country": "У какой страны код {code}?",
    },
}

SHARES = {"date": 4, "amount": 4, "unit": 4, "duration": 4, "month": 2, "weekday": 1, "percent": 1, "country": 1}
"""How often each kind is asked; kinds with few distinct questions are rare, so that two sources share few."""

FIRST_DAY, DAYS = datetime.date(1900, 1, 1), 150 * 365
CURRENCIES = "EUR USD GBP JPY CHF SEK NOK PLN CZK INR CNY BRL CAD AUD TRY".split()
UNITS = (
    "length-kilometer length-meter length-centimeter length-millimeter mass-kilogram mass-gram volume-liter "
    "volume-milliliter duration-minute duration-second speed-kilometer-per-hour area-square-meter "
    "area-square-kilometer volume-cubic-meter temperature-celsius"
).split()
COUNTRIES = (
    "AR AT AU BE BG BR CA CH CL CN CO CU CZ DE DK DZ EC EE EG ES ET FI FR GR HR HU ID IE IL IN IQ IR IS IT JM JO JP KE "
    "KR LT LU LV MA MT MX MY NG NL NO NP NZ PE PH PK PL PT RO RS SA SE SI SK SN TH TN TR UA UG US UY VE VN ZA"
).split()


class Fact(NamedTuple):
    """One question with its answer; `template` is a key of `SHARES`."""

    template: str
    prompt: str
    answer: str


def facts(language: str, draws: np.random.Generator, asked_in: str | None = None) -> Iterator[Fact]:
    """An endless stream of facts answered in `language` and asked in `asked_in`, left out the same (keys of `PROMPTS`).

    Questions may come again. Those of one state of `draws` are the same facts in every language.
    """
    kinds, shares = list(SHARES), np.array(list(SHARES.values())) / sum(SHARES.values())
    asked, answered = Locale.parse(asked_in or language), Locale.parse(language)
    while True:
        kind = kinds[draws.choice(len(kinds), p=shares)]
        again = copy.deepcopy(draws) if answered != asked else None
        slots, answer = KINDS[kind](asked, draws)
        if again:
            _, answer = KINDS[kind](answered, again)
        yield Fact(kind, _spaces(PROMPTS[asked_in or language][kind].format(**slots)), _spaces(answer))


def _spaces(text: str) -> str:
    """CLDR's no-break spaces as plain ones, as people type them."""
    return text.replace("\u202f", " ").replace("\u00a0", " ")


def _day(draws: np.random.Generator) -> datetime.date:
    return FIRST_DAY + datetime.timedelta(days=int(draws.integers(DAYS)))


def _date(locale: Locale, draws: np.random.Generator) -> tuple[dict, str]:
    day = _day(draws)
    return {"date": format_skeleton("yMd", day, locale=locale)}, format_date(day, "full", locale)


def _month(locale: Locale, draws: np.random.Generator) -> tuple[dict, str]:
    day = _day(draws)
    return {"date": format_skeleton("yMd", day, locale=locale)}, get_month_names("wide", "stand-alone", locale)[
        day.month
    ]


def _amount(locale: Locale, draws: np.random.Generator) -> tuple[dict, str]:
    # Below 1000: CLDR and national style guides disagree about the separator in four-digit numbers.
    code, whole = str(draws.choice(CURRENCIES)), bool(draws.integers(2))
    value = int(draws.integers(2, 1000)) if whole or code == "JPY" else int(draws.integers(201, 100_000)) / 100
    pattern = "0" if isinstance(value, int) else "0.00"
    answer = format_currency(value, code, pattern, locale, currency_digits=False, format_type="name")
    return {"number": format_decimal(value, pattern, locale), "code": code}, answer


def _unit(locale: Locale, draws: np.random.Generator) -> tuple[dict, str]:
    unit = str(draws.choice(UNITS))
    value = int(draws.integers(2, 1000)) if draws.integers(2) else int(draws.integers(11, 1000)) / 10
    return {"short": format_unit(value, unit, "short", locale=locale)}, format_unit(value, unit, "long", locale=locale)


def _duration(locale: Locale, draws: np.random.Generator) -> tuple[dict, str]:
    # Between 06:00 and 22:00 in steps of five minutes: several languages change the article at one o'clock.
    start, end = sorted(int(slot) * 5 for slot in draws.choice(np.arange(6 * 12, 22 * 12), 2, replace=False))
    slots = {
        key: format_time(datetime.time(*divmod(minutes, 60)), "short", locale=locale)
        for key, minutes in (("start", start), ("end", end))
    }
    hours, minutes = divmod(end - start, 60)
    parts = [(hours, "hour", 3600), (minutes, "minute", 60)]
    answer = [
        # `format_unit` would know the units too, but babel 2.18 finds no Dutch pattern for its hours.
        format_timedelta(count * seconds, granularity=unit, threshold=1000, locale=locale)
        for count, unit, seconds in parts
        if count
    ]
    return slots, format_list(answer, locale=locale)


def _weekday(locale: Locale, draws: np.random.Generator) -> tuple[dict, str]:
    names, today, days = (
        get_day_names("wide", "stand-alone", locale),
        int(draws.integers(7)),
        int(draws.integers(2, 100)),
    )
    later = datetime.timedelta(days=days)
    later = format_timedelta(later, granularity="day", threshold=1000, add_direction=True, locale=locale)
    return {"weekday": names[today], "later": later}, names[(today + days) % 7]


def _percent(locale: Locale, draws: np.random.Generator) -> tuple[dict, str]:
    value = int(draws.integers(1, 1000)) / 1000
    pattern = locale.percent_formats[None].pattern.replace("#,##0", "0.#")
    return {"number": format_decimal(value, "0.0##", locale)}, format_percent(value, pattern, locale)


def _country(locale: Locale, draws: np.random.Generator) -> tuple[dict, str]:
    code = str(draws.choice(COUNTRIES))
    return {"code": code}, locale.territories[code]


KINDS = {
    "date": _date,
    "amount": _amount,
    "unit": _unit,
    "duration": _duration,
    "month": _month,
    "weekday": _weekday,
    "percent": _percent,
    "country": _country,
}
