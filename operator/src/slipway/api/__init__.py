"""The ``ModelDeployment`` API: models, the rules they obey, and the CRD made from them."""
