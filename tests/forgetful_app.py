"""Run app.py with room for so few sessions that each is forgotten as soon as others come; passes heed orders."""

import misbehave

import app
from plantain.ui import server

server.SESSIONS = 8
misbehave.install()
app.main()
