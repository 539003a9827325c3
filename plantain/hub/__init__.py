"""From a run to the Hub and back: the model card, the published runs, the Space. Knows nothing about the page.

`commands`   publish, pull and space on the command line
`publish`    a run's section into a card, its files beside it
`pull`       published runs, checked; `start` does it for the app
`space`      the Space from the working tree
`cards`, `section`, `picture`   the text of a card, what it says of a run, and the figure
`remote`, `errors`   a repository at one commit; what can go wrong

The token is the hub library's own and goes nowhere but to its endpoint.
"""
