"""The seat in common.ai: what makes its `@task.llm_batch` run on Kimi."""
