"""Loading of models: the request, the weights, and the library that builds the model."""
