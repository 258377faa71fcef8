//! A build sees in the stage what it would see in the live tree.
