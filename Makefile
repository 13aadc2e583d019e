.PHONY: check slow
check:  ## what has to pass before a commit
	ruff check . && ruff format --check . && pyright && pytest
slow:  ## the long tests
	pytest -m slow
