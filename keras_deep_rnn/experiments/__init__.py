"""The experiments of the paper (arXiv:1312.6026, Tables 2 and 3): settings, runs and results.

<task>/<network>-<recipe>.toml   settings of one experiment: a cell of the tables
published.py     tasks, networks, recipes and published results
experiment.py    reads and checks the settings of experiments
runner.py        trains the missing runs; worker.py is the process of one run
records.py       writes results/<task>/<network>-<recipe>.json and .csv from run folders
trained.py       the trained networks that come with the package; model_cards.py their page
results_page.py  writes the results page from the records; pictures.py its pictures
"""
