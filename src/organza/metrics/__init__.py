"""Measures: pure functions on samples or features. They know no GAN."""
