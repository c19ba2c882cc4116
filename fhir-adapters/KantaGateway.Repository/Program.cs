using System.CommandLine;
using KantaGateway.Fhir.Transport;
using KantaGateway.Postgres;
using KantaGateway.Repository;
using KantaGateway.Repository.Storage;

var root = new RootCommand("Keeps resources as ciphertext; what it must be told is in RepositoryOptions.");
Add(root, async (options, _) =>
{
    WebApplication app;
    try
    {
        app = RepositoryHost.Build(options);
    }
    catch (StoreException e)
    {
        // What to do, not where in the code.
        await Console.Error.WriteLineAsync(e.Explanation);
        return 2;
    }
    await app.RunAsync();
    return 0;
});
root.Add(Add(new Command(VerifyStore.Name, "Says whether the store is whole; it may be in use."), (options, cancel) => VerifyStore.RunAsync(options, Console.Out, cancel)));
root.Add(Add(new Command(MigrateStore.Name, "Makes the tables of the store, or brings them to the version of this program."), (options, cancel) => MigrateStore.RunAsync(options, Console.Out, cancel)));
foreach (var isCopied in new[] { true, false })
{
    var from = new Option<string>("--from") { Description = "JSON file that names the store to read from.", Required = true };
    var to = new Option<string>("--to") { Description = isCopied ? "JSON file that names an empty store, or one that a copy from there was broken off in." : "JSON file that names the other one.", Required = true };
    var command = new Command(isCopied ? CopyStore.Name : CopyStore.CompareName, isCopied ? "Copies all of a store into an empty one and compares them; nobody may use either." : "Compares every row of two stores.") { from, to };
    command.SetAction((parsed, cancel) => CopyStore.RunAsync(Read(parsed.GetRequiredValue(from), isWhole: true), Read(parsed.GetRequiredValue(to), isWhole: true), isCopied, Console.Out, cancel));
    root.Add(command);
}
return await root.Parse(args).InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });

static Command Add(Command command, Func<RepositoryOptions, CancellationToken, Task<int>> run)
{
    var file = new Argument<string>("options") { Description = "JSON file; variables KANTA_REPOSITORY__ stand above it.", DefaultValueFactory = _ => "repository.json" };
    command.Add(file);
    command.SetAction((parsed, cancel) => run(Read(parsed.GetRequiredValue(file)), cancel));
    return command;
}

// One store stands in a file as a whole: what the environment says would be of both.
static RepositoryOptions Read(string file, bool isWhole = false)
{
    OptionsCheck.RequirePrivateConfiguration(file, (nameof(RepositoryOptions.Postgres), PostgresOptions.HasPassword), (nameof(RepositoryOptions.PostgresOwner), PostgresOptions.HasPassword));
    var builder = new ConfigurationBuilder().AddJsonFile(Path.GetFullPath(file), optional: !isWhole);
    if (!isWhole)
        builder.AddEnvironmentVariables("KANTA_REPOSITORY__");
    return builder.Build().Get<RepositoryOptions>(o => o.ErrorOnUnknownConfiguration = true)
        ?? throw new InvalidOperationException("No configuration: give a JSON file or KANTA_REPOSITORY__ variables.");
}
