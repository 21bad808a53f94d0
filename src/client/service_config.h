#ifndef SUTRA_CLIENT_SERVICE_CONFIG_H
#define SUTRA_CLIENT_SERVICE_CONFIG_H

/** deploy/service-config.json, as it is. */
extern const char client_service_config[];

#endif
