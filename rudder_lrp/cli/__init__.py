"""The command `rudder-lrp`: train, explain and compare on any registered Gymnasium environment."""
