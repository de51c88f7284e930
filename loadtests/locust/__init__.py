"""The load test that users run: locust users, traffic, thresholds, report."""
