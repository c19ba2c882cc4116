using KantaGateway.Repository;

var configuration = new ConfigurationBuilder()
    .AddJsonFile(args.FirstOrDefault(a => !a.StartsWith('-')) ?? "repository.json", optional: true)
    .AddEnvironmentVariables("KANTA_REPOSITORY__")
    .Build();
var options = configuration.Get<RepositoryOptions>(o => o.ErrorOnUnknownConfiguration = true)
    ?? throw new InvalidOperationException("No configuration: give a JSON file or KANTA_REPOSITORY__ variables.");
await RepositoryHost.Build(options).RunAsync();
