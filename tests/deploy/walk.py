"""The walk: what people, operators and services do with a deployment, all of it."""

import walk_models
import walk_rest
import walk_slack
import walk_web
from steps import STEPS

__all__ = ["STEPS", "walk_models", "walk_rest", "walk_slack", "walk_web"]
