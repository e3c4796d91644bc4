"""The paper's tables and figures, one command each: `moltrain reproduce`.

document    what a table is: rows, data, settings, the paper's numbers (`pipelines/*.yaml`)
given       which of the given shards a row is made from
units       single runs, and how far they are on disk
plan        the runs that a table needs
timing      what a step costs here, for the estimate of `--dry-run`
peers       rows of other people's predictors
table       what the runs on disk say, beside the paper's numbers
page        the same as an HTML page
execute     do what is left
"""
