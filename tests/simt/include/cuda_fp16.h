// nccl.h names it and uses nothing of it.
#pragma once
