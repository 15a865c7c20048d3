mod line;
mod named;
mod simulated;
mod world;
