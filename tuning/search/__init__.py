"""The search itself: a chief, workers, trials and the folder that holds them."""
