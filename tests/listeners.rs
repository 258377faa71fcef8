//! Who answers where the app should: strangers on its ports, both families, fronts, services that no longer listen.
