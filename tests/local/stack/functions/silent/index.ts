console.log("serves nothing");
