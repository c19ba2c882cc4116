using System.CommandLine;
using KantaGateway.Dev;

var port = new Option<int>("--port") { Description = "TLS port of the gateway; the two ports after it are used as well.", DefaultValueFactory = _ => 8443 };
var data = new Option<string?>("--data") { Description = "Folder for all state; default $KANTA_DATA, else .dev beside the solution." };
var terminator = new Option<int?>("--terminator-port") { Description = "Plain HTTP port for a trusted TLS terminator on this machine; default none." };
var mllp = new Option<int?>("--mllp-port") { Description = "TLS port for HL7 v2 over MLLP, for the system of aurora; default none." };
var operators = new Option<int?>("--operators-port") { Description = "TLS port of the operators' pages, which then stand at https://127.0.0.1:PORT alone, an origin apart from the citizens'; default: under the portal's address." };
var sockets = new Option<bool>("--sockets") { Description = "Repository and key service listen on Unix sockets in the data folder, so that further gateways can join." };
var join = new Option<int?>("--join") { Description = "Runs a gateway alone, over the repository of the host that runs on the same folder with --sockets: that host's port." };
var probes = new Option<int>("--probes") { Description = "Seconds between two rounds of the live probes, 1 to 30; 0 for none.", DefaultValueFactory = _ => 15 };
var witnesses = new Option<bool>("--witnesses") { Description = "Whether three simulated witnesses are asked to cosign the audit log; default true.", DefaultValueFactory = _ => true };
var people = new Option<int?>("--people") { Description = "People whom one client, or person, may open within an hour before it is told to wait (429); default that of the key service." };
var breadth = new Option<bool>("--breadth") { Description = "Whether as few patients without an open service event are allowed as in production, 15 in an hour and so on; default true.", DefaultValueFactory = _ => true };
var repositories = new Option<int>("--repositories") { Description = "Repositories over the database, the same for all that join. With --sockets those after the first are processes of their own: KantaGateway.Repository DATA/repository/repository-2.json.", DefaultValueFactory = _ => 1 };
repositories.Validators.Add(result =>
{
    if (result.GetValueOrDefault<int>() is < 1 or > 16)
        result.AddError("--repositories: 1 to 16.");
});
var command = new RootCommand("Runs gateway, repository, key service and simulators on this machine.") { port, data, terminator, mllp, operators, sockets, join, probes, witnesses, people, breadth, repositories };
command.SetAction(async (parse, cancel) =>
{
    var folder = parse.GetValue(data) ?? Environment.GetEnvironmentVariable("KANTA_DATA") ?? Path.Combine(SolutionFolder(), ".dev");
    DevHost host;
    try
    {
        host = await StartAsync(parse, folder);
    }
    catch (IOException e)
    {
        // A port or a folder that is taken: what to do, not where in the code.
        Console.Error.WriteLine(e.InnerException is Microsoft.AspNetCore.Connections.AddressInUseException
            ? $"{e.Message} Choose other ports with --port." : e.Message);
        return 1;
    }
    await using var running = host;
    if (host.OperatorsAddress != host.Address)
        Console.WriteLine($"operators {host.OperatorsAddress}/operator");
    Console.WriteLine($"portal {host.Address}/");
    Console.WriteLine("ready");
    try
    {
        await Task.Delay(Timeout.Infinite, cancel);
    }
    catch (OperationCanceledException)
    {
        Console.WriteLine("stopping");
    }
    return 0;
});
return await command.Parse(args).InvokeAsync();

Task<DevHost> StartAsync(ParseResult parse, string folder)
{
    var options = new DevHostOptions
    {
        Port = parse.GetValue(port),
        DataFolder = folder,
        Postgres = Environment.GetEnvironmentVariable("KANTA_POSTGRES"),
        AuditPostgres = Environment.GetEnvironmentVariable("KANTA_AUDIT_POSTGRES"),
        Redis = Environment.GetEnvironmentVariable("KANTA_REDIS"),
        TerminatorPort = parse.GetValue(terminator),
        MllpPort = parse.GetValue(mllp),
        OperatorsPort = parse.GetValue(operators),
        ProbeInterval = parse.GetValue(probes) is > 0 and var interval ? interval : null,
        Witnesses = parse.GetValue(witnesses),
        PeopleAnHour = parse.GetValue(people),
        Breadth = parse.GetValue(breadth) ? new() : null,
        Repositories = parse.GetValue(repositories),
        Sockets = parse.GetValue(sockets) || parse.GetValue(join) is not null,
        // Request logging writes paths, and paths carry ids. What keeps a host from starting is said below.
        Configure = builder => builder.Logging.AddSimpleConsole().AddFilter("Microsoft", LogLevel.Warning)
            .AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.Critical),
    };
    return parse.GetValue(join) is { } first ? DevHost.JoinAsync(options, first) : DevHost.StartAsync(options, line => Console.WriteLine("  " + line));
}

static string SolutionFolder()
{
    for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        if (File.Exists(Path.Combine(folder.FullName, "KantaGateway.sln")))
            return folder.FullName;
    return Environment.CurrentDirectory;
}
