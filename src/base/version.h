#ifndef SUTRA_BASE_VERSION_H
#define SUTRA_BASE_VERSION_H

/**
 * The release, in this one place: --version prints "NAME VERSION (DATE)", and packages, manual
 * pages and images ask the programs. MAJOR.MINOR.PATCH as on semver.org.
 */
#define SUTRA_VERSION "0.1.0"
#define SUTRA_RELEASE_DATE "2026-11-23"

#endif
