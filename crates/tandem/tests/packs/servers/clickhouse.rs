//! ClickHouse, at `CLICKHOUSE_ADDR` (`host:port`, its own protocol) and `CLICKHOUSE_HTTP_ADDR` (HTTP). Nobody needs a password.

use std::fs;

use super::{Folder, NotStarted, Server, find, free_port, says};

pub fn start() -> Result<Server, NotStarted> {
    let server = find(&["clickhouse-server"])?;
    let (folder, native, http) = (Folder::own(), free_port(), free_port());
    let here = folder.path().display();
    let config = format!(
        "<yandex><logger><level>warning</level><console>1</console></logger>
        <listen_host>127.0.0.1</listen_host><tcp_port>{native}</tcp_port><http_port>{http}</http_port>
        <path>{here}/data/</path><tmp_path>{here}/tmp/</tmp_path><users_config>users.xml</users_config>
        <default_profile>default</default_profile><default_database>default</default_database>
        <mark_cache_size>1048576</mark_cache_size></yandex>"
    );
    let users = "<yandex><profiles><default></default></profiles><quotas><default></default></quotas>
        <users><default><password></password><networks><ip>127.0.0.1</ip></networks>
        <profile>default</profile><quota>default</quota></default></users></yandex>";
    fs::write(folder.path().join("config.xml"), config).expect("the folder is ours");
    fs::write(folder.path().join("users.xml"), users).expect("the folder is ours");
    let mut command = folder.command(server);
    command.arg("--config-file=config.xml");
    let answers = || says(http, b"GET /ping HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK");
    let server = folder.serve(&mut command, answers)?;
    let server = server.found_in("CLICKHOUSE_HTTP_ADDR", format!("127.0.0.1:{http}"));
    Ok(server.found_in("CLICKHOUSE_ADDR", format!("127.0.0.1:{native}")))
}
