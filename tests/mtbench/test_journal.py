"""The journal, and that judging never makes or pays for a finished call again, nor passes its limit."""

import re

import pytest

from scalebio.errors import UserError
from scalebio.journal import Journal, key
from scalebio.mtbench.parsing import FAILED
from scalebio.mtbench.reference_judge import Fault

PRICE = {"input": 10.0, "output": 40.0}
WORST = 200 * 40 / 1e6  # of a reply of 200 tokens, in US dollars


def cost(row):
    return (row["tokens_in"] * PRICE["input"] + row["tokens_out"] * PRICE["output"]) / 1e6


def test_pieces_come_back_and_one_cut_short_does_not(tmp_path):
    path = tmp_path / "sub" / "journal"
    with Journal(path) as done:
        done.add("a", {"text": "zwei\nZeilen, 二"})
        done.add("b", 1)
        done.add("b", 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "c", "val')
    with Journal(path) as done:
        assert done["a"] == {"text": "zwei\nZeilen, 二"} and done["b"] == 2 and "c" not in done
        done.add("c", 3)
    with Journal(path) as done:
        assert len(done.entries) == 3 and done["c"] == 3
    assert path.read_bytes().startswith(whole)


def test_keys_tell_everything_apart():
    assert key("a", 1, {"x": 1, "y": 2}) == key("a", 1, {"y": 2, "x": 1})
    assert len({key("a", 1), key("a", "1"), key("a1"), key(["a", 1]), key("a", 1, None)}) == 5


def test_a_second_run_makes_no_call_and_gives_the_same_rows(rated, tmp_path, capfd):
    path = tmp_path / "journal"
    rows, _ = rated(journal=path, repeats=2)
    again, requests = rated(journal=path, repeats=2)
    assert again == rows and not requests
    assert "0 calls made, 12 taken from the journal" in capfd.readouterr().err
    assert rated(journal=path, repeats=3)[1].total() == 6


def test_unreadable_replies_are_kept_too(rated, tmp_path):
    path = tmp_path / "journal"
    rows, requests = rated(lambda prompt, earlier: "No.", journal=path)
    assert requests.total() == 18 and {row["score"] for row in rows} == {FAILED}
    again, requests = rated(journal=path)
    assert again == rows and not requests
    # The other reading takes up the same replies.
    assert rated(lambda prompt, earlier: "No.", journal=path, parse="strict")[1].total() == 0


def test_calls_under_other_settings_are_not_taken_up(rated, tmp_path):
    path = tmp_path / "journal"
    rated(journal=path)
    for settings in ({"temperature": 0.5}, {"max_tokens": 300}):
        assert rated(journal=path, **settings)[1].total() == 6
    # Of a judge that was not started here the address counts, and every server here has another port.
    assert rated(journal=path, started_here=False)[1].total() == 6
    assert rated(journal=path, started_here=False)[1].total() == 6
    assert rated(journal=path)[1].total() == 0


def test_a_refusal_in_the_middle_keeps_what_is_finished(rated, tmp_path, capfd):
    path, answered, refused = tmp_path / "journal", [], []

    def faults(prompt, earlier):
        if len(answered) == 3:
            refused.append(prompt)
            return 401
        answered.append(prompt)

    with pytest.raises(UserError, match="failed after 3 of 6 judgments.*401.* 3 finished calls are kept in"):
        rated(faults, journal=path, connections=1)
    assert len(refused) == 1
    rows, requests = rated(journal=path)
    assert requests.total() == 3 and not set(requests) & set(answered)
    assert rows == rated()[0]


def test_calls_in_flight_at_a_failure_are_kept(rated, tmp_path):
    path = tmp_path / "journal"

    def faults(prompt, earlier):
        return Fault(wait=0.5) if "1 + 2?" in prompt else 404

    with pytest.raises(UserError, match="failed after 2 of 6"):
        rated(faults, journal=path)
    assert rated(journal=path)[1].total() == 4


def test_cost_is_that_of_the_tokens(rated, capfd):
    rows, _ = rated(price=PRICE, repeats=2)
    total = sum(map(cost, rows))
    assert total > 0
    assert f"USD {total:.4f} in all" in capfd.readouterr().err
    rated()
    assert "no price given" in capfd.readouterr().err


@pytest.mark.parametrize("connections", [1, 16])
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_the_limit_is_never_passed_and_a_higher_one_goes_on(rated, tmp_path, connections, share):
    path = tmp_path / "journal"
    rows, _ = rated(price=PRICE)
    full = sum(map(cost, rows))
    settings = {"price": PRICE, "max_tokens": 200, "connections": connections, "journal": path}
    limit = share * full
    with pytest.raises(UserError, match="judge.cost_limit is USD") as error:
        rated(cost_limit=limit, **settings)
    spent = float(re.search(r"USD ([0-9.]+) are spent", str(error.value))[1])
    done, kept = map(int, re.search(r"(\d) of 6 judgments are done.* (\d) finished calls", str(error.value)).groups())
    assert 0 <= done == kept < 6 and spent <= limit
    # Another call was not to be had: the dearest one has to fit into what is left.
    assert limit - spent < WORST + max(map(cost, rows)) * 2
    # The same limit again: nothing is asked, because what is spent counts.
    with pytest.raises(UserError, match=f"{kept} finished calls"):
        rated(cost_limit=limit, **settings)
    again, requests = rated(cost_limit=full + 2 * WORST, **settings)
    assert requests.total() == 6 - kept
    assert [row["score"] for row in again] == [row["score"] for row in rows]


def test_a_limit_just_above_the_cost_waits_for_calls_in_flight(rated):
    rows, _ = rated(price=PRICE)
    full = sum(map(cost, rows))
    # All six at once could cost more than this; one after the other they do not.
    limit = full + WORST + max(cost(row) for row in rows) * 2
    assert 6 * WORST > limit - full
    assert len(rated(price=PRICE, cost_limit=limit, max_tokens=200, connections=16)[0]) == 6


def test_calls_made_before_there_was_a_price_count_at_todays(rated, tmp_path):
    path = tmp_path / "journal"
    rows, _ = rated(journal=path, max_tokens=200)
    with pytest.raises(UserError, match=f"USD {sum(map(cost, rows)):.4f} are spent"):
        rated(journal=path, max_tokens=200, repeats=2, price=PRICE, cost_limit=sum(map(cost, rows)))
