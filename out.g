timeout: failed to run command ‘./g’: No such file or directory
