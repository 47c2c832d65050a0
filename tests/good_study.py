"""A study file without a fault, and what is said of it after a change: for all tests of study files."""

import copy

import pytest
import yaml
from snakemake.utils import update_config

from scalebio.errors import UserError
from scalebio.study import load_study

GOOD = """
study: demo
run: [first]
models:
  tiny:
    scratch: {hidden_size: 64, intermediate_size: 128, layers: 2, heads: 4, vocabulary: 512}
    max_length: 64
    warm_up: {steps: 10, batch: 8, learning_rate: 1e-3}
  real: {hub: {id: owner/model, revision: unverified}, max_length: 64}
sources:
  clean: {generator: {kind: reasoning_gym, tasks: {gcd: {}}}, rows: 50}
  noisy: {generator: {kind: reasoning_gym, tasks: {gcd: {}}}, rows: 50, corrupt: {rate: 0.5}}
  held: {generator: {kind: reasoning_gym, tasks: {gcd: {}}}, rows: 50}
  remote: {hub: {id: owner/data, revision: unverified}, part: {index: 0, of: 2}}
references:
  goal: {validation: {held: 1}, validation_rows: 10, test_rows: 10}
methods:
  uniform: {kind: uniform}
  scalebio: {kind: scalebio, steps: 10, learning_rate: 1e-3}
finetuning: {rows: 10, batch: 2, learning_rate: 1e-3}
evaluations:
  accuracy: {rows: 5, max_new_tokens: 8}
experiments:
  first:
    sources: [clean, noisy]
    reference: goal
    model: tiny
    methods: [uniform, scalebio]
    seeds: [0, 1]
    evaluate: [accuracy]
    expected: {clean: 1, noisy: 0}
"""


def changed(path, value):
    """The good study with one value replaced, added, or (None) removed."""
    study = copy.deepcopy(yaml.safe_load(GOOD))
    *parents, last = path.split(".")
    section = study
    for key in parents:
        section = section[key]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return study


def merged(*paths):
    """Study files as Snakemake lays each over the ones before it."""
    study = {}
    for path in paths:
        update_config(study, yaml.safe_load(path.read_text(encoding="utf-8")))
    return study


def faults(config):
    with pytest.raises(UserError) as caught:
        load_study(config)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("the study file has ")
    return [line.strip() for line in lines]
