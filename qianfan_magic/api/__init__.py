"""The client library: it knows neither IPython nor widgets."""
