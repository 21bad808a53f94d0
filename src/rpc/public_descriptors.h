#ifndef SUTRA_RPC_PUBLIC_DESCRIPTORS_H
#define SUTRA_RPC_PUBLIC_DESCRIPTORS_H

/** The encoded google.protobuf.FileDescriptorSet of the public .proto files and what they import;
 * generated from //proto:public_descriptors. */

#include <stddef.h>
#include <stdint.h>

extern const uint8_t public_descriptors[];
extern const size_t public_descriptors_size;

#endif
