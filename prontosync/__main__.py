from prontosync.cli.main import run

run()
