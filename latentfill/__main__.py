"""python -m latentfill is the command latentfill."""

from .cli.main import main

main()
