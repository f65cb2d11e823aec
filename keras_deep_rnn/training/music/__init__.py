"""A sampled piece and its files: MIDI with a picture, a page that plays, sound."""
