/* SPDX-License-Identifier: Apache-2.0 */
/* twoports.c: waits for connections on port 9090 at once, and on 8080 only a while later: not before that is it initialised. */
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0 || bind(s, (void *)&a, sizeof(a)) || listen(s, 16))
		_exit(1);
	return s;
}

static void *serve(void *arg)
{
	int s = listener((long)arg), c;
	char b[100];
	while ((c = accept(s, NULL, NULL)) >= 0) {
		if (read(c, b, sizeof(b)) > 0 && write(c, "here\n", 5) != 5)
			_exit(1);
		close(c);
	}
	_exit(1);
}

int main(void)
{
	pthread_t t;
	pthread_create(&t, NULL, serve, (void *)9090);
	usleep(100000);
	serve((void *)8080);
}
