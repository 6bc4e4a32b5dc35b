"""The steps of the job: submit, wait, collect, cancel. They obey the decisions of `batch`."""
