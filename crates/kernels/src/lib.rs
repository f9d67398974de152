//! The operations of the engine, forward and backward, behind the Backend seam.
