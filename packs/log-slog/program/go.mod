module example.com/tandem/logslog

go 1.21
