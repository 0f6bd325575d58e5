"""Training and measuring: data, losses, loops. Imports neither mediapipe nor gradio."""
