"""Pictures to train on, made anew by anyone from packages that are free to have: `scripts/corpus --help`."""
