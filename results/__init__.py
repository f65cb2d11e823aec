"""Records of the experiments, and packed runs with the weights of the best run of each."""
