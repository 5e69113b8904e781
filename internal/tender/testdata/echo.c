/* SPDX-License-Identifier: Apache-2.0 */
/* echo.c: a TCP echo server on port 8080, a thread for each connection. */
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void *serve(void *arg)
{
	static _Thread_local char buf[50000];
	int fd = (int)(long)arg;
	ssize_t n, k, m;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (k = 0; k < n; k += m)
			if ((m = write(fd, buf + k, n - k)) < 0)
				goto out;
out:
	close(fd);
	return NULL;
}

int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };
	int s = socket(AF_INET, SOCK_STREAM, 0), fd;
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 65536 + sizeof(char[50000]));
	if (bind(s, (void *)&a, sizeof(a)) || listen(s, 1000))
		return 1;
	while ((fd = accept(s, NULL, NULL)) >= 0)
		if (pthread_create(&t, &attr, serve, (void *)(long)fd))
			return 2;
	return 3;
}
