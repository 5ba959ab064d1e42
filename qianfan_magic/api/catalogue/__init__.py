"""What is known of models and request parameters before a request is sent."""
