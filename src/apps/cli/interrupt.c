#include "src/apps/cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "src/apps/cli/exit_code.h"

static volatile sig_atomic_t requests;

static void on_signal(int number)
{
    (void)number;
    if (requests > 0)
        _exit(SUTRA_EXIT_INTERRUPTED);
    requests = 1;
}

void interrupt_install(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool interrupt_requested(void)
{
    return requests != 0;
}
