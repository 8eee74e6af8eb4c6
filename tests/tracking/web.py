"""The web process without its screens, on the home and port that ATELIER_HOME and ATELIER_PORT say."""

import logging

import uvicorn

from app.server import application
from services.studio import Settings, Studio

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    settings = Settings()
    uvicorn.run(
        application(Studio(settings)), port=settings.port, http="h11", loop="asyncio", log_config=None, access_log=False
    )
