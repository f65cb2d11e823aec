"""The command line `deep-rnn`: one file a command."""
