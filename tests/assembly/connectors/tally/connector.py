from connectors.sdk import run

run(__file__)
