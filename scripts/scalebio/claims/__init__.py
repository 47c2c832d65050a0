"""Claims of the paper, tested on a study's tables: each ends as reproduced, not reproduced, undecided or not run.

`listing` is the data file's typed form, `measures` takes one number with its interval from the tables, one function a kind of
test, `verdicts` holds it against a band, `judging` makes the rows of claims.csv and `page` what is read of them. What is claimed
stands in workflow/claims.yaml.
"""

REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_RUN = "reproduced", "not reproduced", "undecided", "not run"
