"""A Kimi platform on loopback: the real protocol over real TCP, with a clock and faults that the user controls.

It imports nothing of the provider, and nothing of the provider imports it.
"""

from airflow_provider_kimi.simulator.answers import Answer, Responder, RowError
from airflow_provider_kimi.simulator.behaviour import Behaviour, Timing
from airflow_provider_kimi.simulator.labels import label_answer
from airflow_provider_kimi.simulator.server import KimiSimulator

__all__ = ["Answer", "Behaviour", "KimiSimulator", "Responder", "RowError", "Timing", "label_answer"]
