"""The experiments of the paper (arXiv:1312.6026, Tables 2 and 3): one file each, run and reported.

<task>/<network>-<recipe>.toml   the settings of one experiment: one cell of the table
published.py  tasks, networks, recipes and the published numbers
experiment.py one file, read and checked
runner.py     trains what is not trained yet; worker.py is the process of one training
records.py    results/<task>/<network>-<recipe>.json and .csv, from the run folders
results_page.py  the results page, from those; pictures.py
"""
