"""Figures of tiles: records in, plain Plotly dictionaries out, numbers as typed base64 arrays. Needs no Streamlit."""
