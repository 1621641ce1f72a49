"""What was played, as the predictor sees it: episodes, features, lessons, timelines."""
