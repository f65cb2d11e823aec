"""What comes of faults: `python -m benchmarks faults`; docs/reliability.md says what is promised.

command     the command line: the sections, the JSON of the results
page        the table of docs/reliability.md
forked      commands in processes forked from one that has imported everything
judged      the outcomes, and how one is told from what a command has said
workplace   what the faults are done to: data, runs, an export, job files
finished    what a command has finished, in a form that two right runs have in common
kills       SIGKILL at random times
disks       full disks and folders that cannot be written
bits        a flipped bit in each file of a run and of an export
inputs      mutated files for every reader
mutations   how they are mutated
draws       changes at random of bytes and of JSON
requests    broken requests, many streams, slow clients
"""
