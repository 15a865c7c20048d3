mod named;
mod simulated;
mod world;
