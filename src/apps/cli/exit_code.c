#include "src/apps/cli/exit_code.h"

enum exit_code exit_code_of(enum status_code code)
{
    switch (code) {
    case STATUS_OK:
        return SUTRA_EXIT_OK;
    case STATUS_NOT_FOUND:
        return SUTRA_EXIT_PARTIAL;
    case STATUS_UNAVAILABLE:
    case STATUS_DEADLINE_EXCEEDED:
        return SUTRA_EXIT_UNAVAILABLE;
    default:
        return SUTRA_EXIT_REFUSED;
    }
}
