"""From a run to the Hub and back: the model card, published runs, the Space.

The token is the hub library's own and goes nowhere but to its endpoint.
"""
